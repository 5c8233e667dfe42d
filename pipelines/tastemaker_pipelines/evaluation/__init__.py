"""One backtest per model, and the leaderboard that compares them."""

"""States, incidents, outbox, silences and lease on SQLite and on Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.exc import OperationalError

from support.recording_channel import SENT, RecordingChannel
from support.watch_rules import A, B, machine, reading, small_rule
from tastemaker.errors import TastemakerError
from tastemaker.notifications.notification import Delivery, Notification
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_incidents, alert_outbox, alert_states, watch_leases
from tastemaker.watch import outbox, records
from tastemaker.watch.delivery import ChannelDelivery, occurred_at
from tastemaker.watch.incident import Changes, Message
from tastemaker.watch.interventions import acknowledge, end_silence, silence
from tastemaker.watch.message import compose
from tastemaker.watch.outbox import Claim
from tastemaker.watch.rows import database_now, utc_datetime
from tastemaker.watch.signed_links import SignedLinks
from tastemaker.watch.store import LeaseLost, WatchStore

FIRES, QUIET = reading([A]), reading(quiet=[A])
LINKS = SignedLinks("http://watch", b"k" * 32)
NOW = 1_900_000_000.0


@pytest.fixture
def store(engine: Engine) -> WatchStore:
    return WatchStore(engine, "first")


def composed(record: records.IncidentRecord, claimed: Claim) -> Notification:
    return compose(
        record,
        claimed.event,
        delivery_id=claimed.delivery_id,
        occurred_at=occurred_at(claimed),
        value=None,
        settings=Settings(),
        links=LINKS,
    )


def delivery(
    engine: Engine, channel: RecordingChannel, *others: str, counted: list[tuple[str, str]] | None = None
) -> ChannelDelivery:
    kept = [] if counted is None else counted
    return ChannelDelivery(
        engine,
        channel,
        channels=(channel.name, *others),
        compose=composed,
        counted=lambda *one: kept.append(one),
    )


def fired() -> Changes:
    """The changes of an alert that fires."""
    return machine(small_rule("slow")).step({"slow": FIRES}, NOW)


def fired_and_resolved() -> Changes:
    one = machine(small_rule("slow"))
    changes = one.step({"slow": FIRES}, NOW).copied()
    changes.extend(one.step({"slow": QUIET}, NOW + 10))
    return changes


def make_due(engine: Engine) -> None:
    """Let the waits and claims of all messages be over."""
    with engine.begin() as connection:
        connection.execute(update(alert_outbox).values(due_at=utc_datetime(0), claimed_until=None))


def test_what_is_written_is_loaded(store: WatchStore) -> None:
    one = machine(small_rule("slow", for_seconds=10), small_rule("late"))
    store.write(one.step({"slow": FIRES, "late": reading([B])}, NOW).copied())
    states, incidents = store.load()
    assert {state.key: state for state in states} == one.alerts
    assert {incident.uid: incident for incident in incidents} == one.incidents
    store.write(one.step({"slow": QUIET, "late": reading(quiet=[B])}, NOW + 5).copied())
    states, incidents = store.load()
    assert states == []
    assert [incident.ending for incident in incidents] == ["its condition is no longer true"]


def test_changes_may_be_written_again(store: WatchStore, engine: Engine) -> None:
    """As after a commit of which the answer was lost."""
    for _ in range(3):
        store.write(fired_and_resolved())
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(alert_incidents)).scalar_one() == 1
        assert connection.execute(
            select(alert_outbox.c.event).order_by(alert_outbox.c.id)
        ).scalars().all() == ["trigger", "resolve"]


def test_a_failure_in_the_middle_writes_nothing(store: WatchStore, engine: Engine) -> None:
    changes = fired()
    changes.messages.append(Message("0", "trigger", (None,), NOW))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="channel"):
        store.write(changes)
    assert store.load() == ([], [])


def test_one_watcher_has_the_lease_and_another_takes_it_over_when_it_ends(
    store: WatchStore, engine: Engine
) -> None:
    second = WatchStore(engine, "second")
    assert [store.renew("waits", None), second.renew("waits", None), store.renew("evaluates", NOW)] == [
        True, False, True,
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(update(watch_leases).values(expires_at=utc_datetime(0)))
    assert second.renew("waits", None)
    assert not store.renew("evaluates", NOW)
    with pytest.raises(LeaseLost):
        store.write(fired())
    assert store.load() == ([], [])
    second.release()
    assert store.renew("waits", None)
    assert {watcher: role for watcher, role, _, _ in records.beats(engine)} == {
        "first": "evaluates",
        "second": "evaluates",
    }


def test_a_watcher_for_facts_never_takes_the_lease(store: WatchStore, engine: Engine) -> None:
    assert not store.renew("facts", None)
    assert WatchStore(engine, "second").renew("waits", None)


def test_an_acknowledgement_is_sent_once_to_who_got_the_trigger(store: WatchStore, engine: Engine) -> None:
    store.write(fired())
    assert acknowledge(engine, 1, "ada")
    assert not acknowledge(engine, 1, "bob"), "it is acknowledged already"
    assert store.interventions().acknowledged == {"0"}
    channel = RecordingChannel("pager")
    delivery(engine, channel).deliver_all()
    assert channel.received() == [("trigger", 1), ("acknowledge", 1)]
    assert records.incident(engine, 1).acknowledged_by == "ada"


def test_acknowledging_what_is_not_open_is_an_error(store: WatchStore, engine: Engine) -> None:
    with pytest.raises(TastemakerError, match="there is no incident 7"):
        acknowledge(engine, 7, "ada")
    store.write(fired_and_resolved())
    with pytest.raises(TastemakerError, match="incident 1 ended at 2030-03-17 17:46:50 UTC"):
        acknowledge(engine, 1, "ada")


def test_a_silence_has_a_reason_and_an_end(store: WatchStore, engine: Engine) -> None:
    made = silence(engine, {"rule": "slow"}, seconds=60, by="ada", reason="planned")
    assert store.interventions().silences == (made,)
    end_silence(engine, made.id)
    assert store.interventions().silences == ()
    for matchers, seconds, reason, message in [
        ({}, 60, "planned", "would silence every alert"),
        ({"rule": "slow"}, 8 * 86_400, "planned", "at most 7 days"),
        ({"rule": "slow"}, -1, "planned", "more than 0"),
        ({"rule": "slow"}, 60, " ", "needs a reason"),
    ]:
        with pytest.raises(TastemakerError, match=message):
            silence(engine, matchers, seconds=seconds, by="ada", reason=reason)
    with pytest.raises(TastemakerError, match=f"silence {made.id} ended at"):
        end_silence(engine, made.id)
    with pytest.raises(TastemakerError, match="there is no silence 99"):
        end_silence(engine, 99)


def test_messages_of_an_alert_are_sent_in_order_though_the_first_fails_at_first(
    store: WatchStore, engine: Engine
) -> None:
    store.write(fired_and_resolved())
    answers: Iterator[Delivery] = iter([Delivery("retry", "500"), SENT, SENT])
    channel = RecordingChannel("pager", lambda _: next(answers))
    sending = delivery(engine, channel)
    assert sending.deliver_all() == 1, "the resolve waits for the trigger"
    make_due(engine)
    sending.deliver_all()
    assert [one.event for one in channel.attempts] == ["trigger", "trigger", "resolve"]
    assert channel.attempts[0] == channel.attempts[1], "each attempt sends the same"


def test_waits_double_and_the_receiver_may_ask_for_more(store: WatchStore, engine: Engine) -> None:
    store.write(fired())
    waits = []
    for answer in [None, None, None, 90.0, None]:
        claimed = outbox.claim(engine, "pager", 10)
        assert claimed is not None
        outbox.finish(engine, claimed, Delivery("retry", "429", answer), ("pager",))
        with engine.begin() as connection:
            due_at = connection.execute(select(alert_outbox.c.due_at)).scalar_one()
            waits.append((due_at - database_now(connection)).total_seconds())
        make_due(engine)
    assert waits == pytest.approx([1, 2, 4, 90, 16], abs=0.9)


def test_a_message_is_given_up_after_a_day(store: WatchStore, engine: Engine) -> None:
    store.write(fired())
    with engine.begin() as connection:
        connection.execute(update(alert_outbox).values(created_at=utc_datetime(1_000_000)))
    channel = RecordingChannel("pager", lambda _: Delivery("retry", "500"))
    delivery(engine, channel).deliver_all()
    with engine.connect() as connection:
        assert connection.execute(select(alert_outbox.c.outcome)).scalars().all() == ["expired"]


def test_what_a_receiver_refuses_goes_to_the_other_channels(store: WatchStore, engine: Engine) -> None:
    one = machine(small_rule("slow"))
    store.write(one.step({"slow": FIRES}, NOW).copied())
    pager = RecordingChannel("pager", lambda _: Delivery("rejected", "400 invalid key"))
    team = RecordingChannel("team")
    counted: list[tuple[str, str]] = []
    delivery(engine, pager, "team", counted=counted).deliver_all()
    delivery(engine, team, "pager").deliver_all()
    store.write(one.step({"slow": QUIET}, NOW + 5).copied())
    delivery(engine, pager, "team").deliver_all()
    delivery(engine, team, "pager").deliver_all()
    assert pager.received() == [("trigger", 1)], "no resolve where the trigger was refused"
    assert team.received() == [("trigger", 1), ("resolve", 1)]
    assert counted == [("pager", "rejected")]
    lines = [line.text for line in records.history(engine, records.incident(engine, 1))]
    assert "trigger to pager: rejected (400 invalid key)" in lines


def test_a_claimed_message_is_sent_by_no_other_process_until_the_claim_ends(
    store: WatchStore, engine: Engine
) -> None:
    store.write(fired())
    first = outbox.claim(engine, "pager", 60)
    assert first is not None
    assert outbox.claim(engine, "pager", 60) is None
    make_due(engine)
    again = outbox.claim(engine, "pager", 60)
    assert again is not None
    assert again.delivery_id == first.delivery_id


def test_measuring_what_waits_takes_no_longer_the_more_was_sent(tmp_path: Path) -> None:
    """Steps of SQLite's machine."""
    engine, steps = open_engine(f"sqlite:///{tmp_path / 'watch.db'}"), list[int]()
    WatchStore(engine, "a").write(fired())
    with engine.connect() as connection:
        first = connection.execute(select(alert_outbox).where(alert_outbox.c.channel == "pager")).one()
        sent = first._asdict() | {
            "created_at": utc_datetime(0),
            "finished_at": utc_datetime(0),
            "outcome": "sent",
        }
        driver = connection.connection.driver_connection
    assert driver is not None
    for numbers in (range(10), range(10, 1_000)):
        rows = [sent | {"id": 100 + n, "n": 100 + n, "delivery_id": f"sent-{n}"} for n in numbers]
        with engine.begin() as connection:
            connection.execute(insert(alert_outbox), rows)
        taken = list[None]()
        driver.set_progress_handler(lambda taken=taken: taken.append(None), 1)
        assert 0.0 <= outbox.oldest_seconds(engine, ("pager",))["pager"] < 60.0, "of the one that waits"
        driver.set_progress_handler(None, 0)
        steps.append(len(taken))
    engine.dispose()
    assert steps[1] == steps[0] > 0


def test_a_message_that_was_sent_while_the_database_was_away_is_not_sent_again(
    store: WatchStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(fired())
    channel = RecordingChannel("pager")
    sending, finish = delivery(engine, channel), outbox.finish
    away = OperationalError("UPDATE", {}, Exception("gone"))

    def fail(*_: object) -> None:
        raise away

    monkeypatch.setattr(outbox, "finish", fail)
    with pytest.raises(OperationalError):
        sending.deliver_all()
    make_due(engine)
    monkeypatch.setattr(outbox, "finish", finish)
    sending.deliver_all()
    assert len(channel.attempts) == 1
    assert outbox.oldest_seconds(engine, ("pager",)) == {"pager": 0.0}


def test_a_channel_that_raises_is_tried_again(store: WatchStore, engine: Engine) -> None:
    store.write(fired())

    def fail(_: Notification) -> Delivery:
        raise RuntimeError("a bug")

    sending = delivery(engine, RecordingChannel("pager", fail))
    assert sending.deliver_all() == 1
    assert records.history(engine, records.incident(engine, 1))[-1].text == (
        "trigger to pager: waiting after 1 attempts (the channel raised RuntimeError)"
    )


def test_an_incident_that_two_processes_open_exists_once(store: WatchStore, engine: Engine) -> None:
    store.write(fired())
    other = fired()
    (incident,) = other.incidents.values()
    other.incidents = {"x": replace(incident, uid="x")}
    other.messages = [Message("x", "trigger", ("pager",), NOW)]
    store.write(other)
    channel = RecordingChannel("pager")
    delivery(engine, channel).deliver_all()
    assert channel.received() == [("trigger", 1)]
    with engine.connect() as connection:
        assert connection.execute(select(alert_states.c.key)).scalars().all() == [incident.key]

"""The SQL of the table of units: each statement makes a temporary table of those before it.

`row` is a unit's place in the order of first exposures, `since` seconds since its first exposure, and `day`
whole days since then; the day −1 is the time of the covariates. Texts in braces are filled in by
`tastemaker.experiments.analysis.units` with names of columns of its own.
"""

from __future__ import annotations

EXPOSED = """
    CREATE TEMP TABLE exposed AS
    SELECT epoch, unit, user_id, variant, variant_probability AS probability,
        coalesce(plan_digest, '') AS plan, coalesce(request_id, '') AS request_id,
        greatest(epoch_us(occurred_at) / 1e6, $since) AS at_seconds
    FROM exposures_of_all
    WHERE experiment = $experiment AND epoch BETWEEN $first_epoch AND $last_epoch
        AND epoch_us(occurred_at) / 1e6 < $now
"""
FIRSTS = """
    CREATE TEMP TABLE firsts AS
    SELECT row_number() OVER (ORDER BY exposed_at, unit) - 1 AS row, * FROM (
        SELECT unit, first.at_seconds AS exposed_at, first.variant, first.epoch, first.plan,
            first.probability, is_crossed
        FROM (
            SELECT unit, min(variant) <> max(variant) AS is_crossed, min({
                'at_seconds': at_seconds, 'request_id': request_id, 'epoch': epoch, 'variant': variant,
                'plan': plan, 'probability': probability
            }) AS first
            FROM exposed GROUP BY unit
        )
    )
"""
EXPOSED_BY_LISTS = "SELECT count(*), count(*) FILTER (request_id <> '') FROM exposed"
UNIT_USERS = """
    CREATE TEMP TABLE unit_users AS
    SELECT row, user_id, exposed_at
    FROM (SELECT DISTINCT unit, user_id FROM exposed WHERE user_id IS NOT NULL) JOIN firsts USING (unit)
"""
CROSSED_USERS = """
    UPDATE firsts SET is_crossed = true WHERE row IN (
        SELECT row FROM unit_users WHERE user_id IN (
            SELECT user_id FROM exposed GROUP BY user_id HAVING min(variant) <> max(variant)
        )
    )
"""
LOGGED = """
    CREATE TEMP TABLE logged AS
    SELECT request_id, occurred_at, epoch_us(occurred_at) / 1e6 AS asked_at, user_id, k,
        len(propensities) AS items, fallback IS NOT NULL AS is_fallback, latency_ms, version {lists}
    FROM requests
    WHERE user_id IN (SELECT user_id FROM unit_users)
        AND epoch_us(occurred_at) / 1e6 BETWEEN $since - $before AND $now
"""
REPEATED = """
    CREATE TEMP TABLE repeated AS SELECT request_id FROM logged GROUP BY request_id HAVING count(*) > 1
"""
FIRST_LOGGED = """
    DELETE FROM logged WHERE request_id IN (SELECT request_id FROM repeated) AND rowid NOT IN (
        SELECT rowid FROM logged WHERE request_id IN (SELECT request_id FROM repeated)
        QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY asked_at) = 1
    )
"""
"""Few requests are logged twice: to number all rows would take most of the time and of the memory."""
LISTS = """,
        NULL::VARCHAR AS context, model, fallback, experiment, epoch, variant, variant_probability,
        variant_served, plan_digest, unit, teams, item_ids, []::FLOAT[] AS scores,
        []::FLOAT[] AS propensities"""
"""What attribution reads, too."""
REPORTED = """
    CREATE TEMP TABLE reported AS
    SELECT * FROM feedback QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY received_at) = 1
"""
USERS_EVENTS = """
    CREATE TEMP TABLE unit_events AS
    WITH timed AS (
        SELECT user_id, event_type, value, CASE
            WHEN occurred BETWEEN asked_at - $skew AND asked_at THEN asked_at ELSE occurred
        END AS at_seconds
        FROM (SELECT * FROM happened WHERE event_type <> $impression) AS happened
        LEFT JOIN (SELECT request_id, asked_at FROM logged) AS named USING (request_id)
    ),
    worths AS (
        SELECT event_type, sum(flat) AS flat, sum(by_value) AS by_value FROM rewards GROUP BY event_type
    )
    SELECT row, at_seconds - exposed_at AS since, event_type, flat + by_value * value AS reward,
        flat + by_value > 0 AS is_positive
    FROM timed JOIN unit_users USING (user_id) JOIN worths USING (event_type)
    WHERE at_seconds - exposed_at >= -$before AND at_seconds - exposed_at < $window
"""
CREDITED_EVENTS = """
    INSERT INTO unit_events BY NAME
    SELECT row, at_seconds - exposed_at AS since, any_value(event_type) AS event_type, sum(reward) AS reward,
        bool_or(flat + by_value > 0) AS is_positive
    FROM unit_credits GROUP BY row, exposed_at, at_seconds, event_id
"""
UNIT_LISTS = """
    CREATE TEMP TABLE unit_lists AS
    SELECT row, exposed_at, firsts.variant, logged.*
    FROM (SELECT DISTINCT unit, request_id FROM exposed WHERE request_id <> '')
    JOIN firsts USING (unit) JOIN (
        SELECT request_id, asked_at, k, items, is_fallback, latency_ms, version FROM logged
    ) AS logged USING (request_id)
    WHERE asked_at < exposed_at + $window
"""
UNIT_CREDITS = """
    CREATE TEMP TABLE unit_credits AS
    SELECT row, exposed_at, request_id, position, event_id, event_type, asked_at + delay AS at_seconds,
        reward, flat, by_value
    FROM earning JOIN unit_lists USING (request_id) WHERE asked_at + delay < exposed_at + $window
"""
EVENT_DAYS = """
    CREATE TEMP TABLE event_days AS
    SELECT row, CASE WHEN since < 0 THEN -1 ELSE floor(since / $day) END::BIGINT AS day,
        sum(reward) AS reward, max(is_positive::INTEGER)::DOUBLE AS is_active {typed}
    FROM unit_events GROUP BY row, day
"""
LIST_DAYS = """
    CREATE TEMP TABLE list_days AS
    WITH credits AS (
        SELECT row, request_id, sum(reward) AS reward, count(*) FILTER (is_rewarded) AS items FROM (
            SELECT row, request_id, position, sum(reward) AS reward,
                bool_or(flat + by_value > 0) AS is_rewarded
            FROM unit_credits GROUP BY row, request_id, position
        ) GROUP BY row, request_id
    )
    SELECT row, greatest(floor((asked_at - exposed_at) / $day), 0)::BIGINT AS day, count(*)::DOUBLE AS lists,
        sum(lists.items)::DOUBLE AS items, count(*) FILTER (is_fallback)::DOUBLE AS fallback_lists,
        count(*) FILTER (lists.items = 0)::DOUBLE AS empty_lists,
        count(*) FILTER (lists.items < k)::DOUBLE AS short_lists,
        count(*) FILTER (latency_ms > $slow)::DOUBLE AS slow_lists,
        count(*) FILTER (version <> designed)::DOUBLE AS wrong_version_lists,
        coalesce(sum(credits.reward), 0) AS list_reward,
        count(*) FILTER (credits.items > 0)::DOUBLE AS rewarded_lists,
        coalesce(sum(credits.items), 0)::DOUBLE AS rewarded_items
    FROM unit_lists AS lists LEFT JOIN designed_versions USING (variant)
    LEFT JOIN credits USING (row, request_id)
    GROUP BY row, day
"""
NO_CREDITS = """
    CREATE TEMP TABLE unit_credits (
        row BIGINT, exposed_at DOUBLE, request_id VARCHAR, position INTEGER, event_id VARCHAR,
        event_type VARCHAR, at_seconds DOUBLE, reward DOUBLE, flat DOUBLE, by_value DOUBLE
    )
"""
TABLE = """
    WITH event_sums AS (
        SELECT row, {event_sums}coalesce(sum(reward) FILTER (day < 0), 0) AS reward_before,
            count(*) FILTER (day < 0) > 0 AS has_events_before
        FROM event_days GROUP BY row
    ),
    before AS (
        SELECT row, count(*)::DOUBLE AS lists_before FROM logged JOIN unit_users USING (user_id)
        WHERE asked_at < exposed_at AND asked_at >= exposed_at - $before GROUP BY row
    )
    SELECT variant, exposed_at, is_crossed, dense_rank() OVER (ORDER BY firsts.epoch, plan) - 1 AS stratum,
        {columns}, {covariates} {slices}
    FROM firsts LEFT JOIN event_sums USING (row) LEFT JOIN before USING (row) {joins} ORDER BY row
"""
USERS = """
    LEFT JOIN (SELECT row, min(user_id) AS user_id FROM unit_users GROUP BY row) AS owners USING (row)
    LEFT JOIN users USING (user_id)
"""
"""Of a device with several users, the first by name."""
STRATA = """
    SELECT epoch, plan, variant, min(probability), max(probability) FROM firsts
    GROUP BY epoch, plan, variant ORDER BY epoch, plan, variant
"""
COVARIATE_SQL = {
    "reward_before": "coalesce(reward_before, 0)",
    "lists_before": "coalesce(lists_before, 0)",
    "is_unknown": "(NOT coalesce(has_events_before, false) AND lists_before IS NULL)::DOUBLE",
}
LISTS_UNTIL = (
    "SELECT max(epoch_us(occurred_at) / 1e6) FROM requests WHERE epoch_us(occurred_at) / 1e6 <= $now"
)
WITHOUT_LATER = "DELETE FROM happened WHERE occurred >= $until"

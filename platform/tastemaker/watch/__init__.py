"""`tastemaker watch`: scrape services, evaluate the alert rules, keep incidents, and deliver notifications.

scrape, samples         what the services export, as series in memory
state_machine           from conditions to incidents, without time, network or database of its own
store                   incidents, the outbox, silences and the lease in the metadata database
delivery                the outbox to the channels
pages                   what it serves over HTTP
"""

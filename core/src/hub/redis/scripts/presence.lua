-- KEYS: members, leases. ARGV: channel of the events. Gives who is there.
sweep(KEYS[1], KEYS[2], ARGV[1], clock(), true)
return redis.call('HVALS', KEYS[1])

-- KEYS: revocations. ARGV: channel of control, what is published, the revocation, its end in seconds.
local now = math.floor(clock() / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. whole(now))
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('EXPIREAT', KEYS[1], whole(tonumber(last[2]) + 1))
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1

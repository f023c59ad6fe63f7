-- KEYS: meta, stream. ARGV: life, epoch if a new one is needed, how many messages a replica has delivered alone, ms that
-- the numbering outlives its last use, channel of the events. Leaves a hole of that size in the numbering, so that every
-- other subscriber, now or when it resumes, learns that it does not have them. Gives epoch and offset.
local epoch, offset = numbering(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
offset = offset + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'offset', whole(offset))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[5], 's ' .. epoch .. ' ' .. whole(offset))
return {epoch, whole(offset)}

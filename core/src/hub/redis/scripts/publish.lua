-- KEYS: meta, stream. ARGV: life, epoch if a new one is needed, body, messages kept, their age in ms, ms that the
-- numbering outlives its last use, channel of the events. Gives epoch and offset.
local now = clock()
local epoch, offset = numbering(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
offset = offset + 1
redis.call('HSET', KEYS[1], 'offset', whole(offset), 'age', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if tonumber(ARGV[4]) > 0 then
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], whole(offset) .. '-0', 't', whole(now), 'b', ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  -- One comes, up to two go: what is too old goes away as fast as it came.
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 2)) do
    if tonumber(entry[2][2]) + tonumber(ARGV[5]) < now then
      redis.call('XDEL', KEYS[2], entry[1])
    end
  end
else
  redis.call('DEL', KEYS[2])
end
redis.call('PUBLISH', ARGV[7], 'p ' .. epoch .. ' ' .. whole(offset) .. ' ' .. whole(now) .. '\n' .. ARGV[3])
return {epoch, whole(offset)}

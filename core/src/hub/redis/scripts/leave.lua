-- KEYS: members. ARGV: replica, channel of the events, connection.
local field = ARGV[1] .. ' ' .. ARGV[3]
local member = redis.call('HGET', KEYS[1], field)
if member then
  redis.call('HDEL', KEYS[1], field)
  redis.call('PUBLISH', ARGV[2], 'l ' .. member)
end
return 1

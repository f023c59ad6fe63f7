-- KEYS: members, leases. ARGV: replica, lease in ms, channel of the events, connection, member.
if redis.call('HSET', KEYS[1], ARGV[1] .. ' ' .. ARGV[4], ARGV[5]) == 1 then
  redis.call('PUBLISH', ARGV[3], 'j ' .. ARGV[5])
end
renew(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), clock())
return 1

-- KEYS: members, leases. ARGV: replica, lease in ms, channel of the events, then connection and member of each that is
-- there: all others of this replica are gone.
local present = {}
for place = 4, #ARGV, 2 do
  present[ARGV[1] .. ' ' .. ARGV[place]] = true
end
local own = ARGV[1] .. ' '
for place, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, #own) == own and not present[field] then
    redis.call('PUBLISH', ARGV[3], 'l ' .. redis.call('HGET', KEYS[1], field))
    redis.call('HDEL', KEYS[1], field)
  end
end
for place = 4, #ARGV, 2 do
  if redis.call('HSET', KEYS[1], own .. ARGV[place], ARGV[place + 1]) == 1 then
    redis.call('PUBLISH', ARGV[3], 'j ' .. ARGV[place + 1])
  end
end
renew(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), clock())
return 1

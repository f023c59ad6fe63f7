-- Takes the members of replicas out whose lease has ended, and tells it. A field is "replica connection".
local function sweep(members, leases, events, now, thorough)
  local ended = redis.call('ZREMRANGEBYSCORE', leases, '-inf', '(' .. whole(now))
  if ended == 0 and not thorough then
    return
  end
  local alive = {}
  for _, replica in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    alive[replica] = true
  end
  local fields = redis.call('HGETALL', members)
  for place = 1, #fields, 2 do
    if not alive[string.match(fields[place], '^[^ ]*')] then
      redis.call('HDEL', members, fields[place])
      redis.call('PUBLISH', events, 'l ' .. fields[place + 1])
    end
  end
end

-- Renews the lease of a replica. The keys outlive every lease in them, so that a survivor can still tell who left.
local function renew(members, leases, replica, lease, now)
  redis.call('ZADD', leases, whole(now + lease), replica)
  redis.call('PEXPIRE', members, lease * 4)
  redis.call('PEXPIRE', leases, lease * 4)
end

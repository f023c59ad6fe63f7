-- KEYS: members, leases. ARGV: replica, lease in ms, channel of the events, 1 where the replica has members here. Gives
-- 0 where others have taken it for dead, so that its members are to be put in again.
local now = clock()
local known = 1
if ARGV[4] == '1' then
  if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
    renew(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), now)
  else
    known = 0
  end
end
sweep(KEYS[1], KEYS[2], ARGV[3], now, false)
return known

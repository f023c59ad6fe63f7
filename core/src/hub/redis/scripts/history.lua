-- KEYS: meta, stream. ARGV: life, epoch if a new one is needed, ms that the numbering outlives its last use, epoch and
-- offset after which to read (the epoch may be empty), how many. Gives epoch, newest offset, and the entries, each
-- offset, time, body. After a position of this epoch the oldest that follow, else the newest of all.
local now = clock()
local epoch, offset = numbering(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local limit = tonumber(ARGV[6])
local answer = {epoch, whole(offset), {}}
if limit == 0 then
  return answer
end
local entries
if ARGV[4] == epoch then
  entries = redis.call('XRANGE', KEYS[2], whole(tonumber(ARGV[5]) + 1) .. '-0', '+', 'COUNT', limit)
else
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', limit)
  entries = {}
  for place = #newest, 1, -1 do
    entries[#entries + 1] = newest[place]
  end
end
local age = tonumber(redis.call('HGET', KEYS[1], 'age') or 0)
for _, entry in ipairs(entries) do
  if tonumber(entry[2][2]) + age >= now then
    table.insert(answer[3], {string.match(entry[1], '^%d+'), entry[2][2], entry[2][4]})
  end
end
return answer

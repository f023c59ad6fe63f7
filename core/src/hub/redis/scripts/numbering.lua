-- The channel's epoch and newest offset. A numbering is as old as the life of the server that keeps it: what a server
-- that started again has read from its disk may lack the newest offsets, and would give them out a second time.
local function numbering(meta, stream, life, candidate)
  local known = redis.call('HMGET', meta, 'epoch', 'offset', 'life')
  if known[1] and known[3] == life then
    return known[1], tonumber(known[2])
  end
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'epoch', candidate, 'offset', 0, 'life', life)
  return candidate, 0
end

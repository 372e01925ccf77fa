-- Returns the session that an idempotency key stands for: id, unless the key has
-- another value than stale. With the nil id it removes the key if its value is stale.
-- KEYS: the key. ARGV: id, stale, time to live (ms).
local id, stale, life = unpack(ARGV)
local was = redis.call('GET', KEYS[1])
if id == '00000000-0000-0000-0000-000000000000' then
  if was == stale then redis.call('DEL', KEYS[1]) end
elseif not was or was == stale then
  redis.call('SET', KEYS[1], id, 'PX', life)
else
  id = was
end
return id

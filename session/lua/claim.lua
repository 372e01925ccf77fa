-- Returns the id of the session that an idempotency key stands for. It stands
-- alone, since the key has a slot of its own. KEYS: the key. ARGV: the id that
-- it gets if it has none or the next; an id that was found not to be a session
-- of this key (''; none was); how long it is kept in ms.
local id, stale, life = unpack(ARGV)
local was = redis.call('GET', KEYS[1])
if not was or was == stale then was = id end
redis.call('SET', KEYS[1], was, 'PX', life)
return was

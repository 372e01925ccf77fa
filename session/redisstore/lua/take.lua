-- The generic cell rate algorithm. The key holds the time at which the bucket is full
-- again, which is at most a minute away; it is clamped to that, since the clock may
-- step back. Returns 0 or the microseconds to wait. Repeated after a lost answer, it
-- counts twice, which errs on the safe side.
-- KEYS: the key. ARGV: things a minute.
local t = redis.call('TIME')
local now, minute = t[1] * 1000000 + t[2], 60000000
local full = tonumber(redis.call('GET', KEYS[1]) or 0)
full = math.max(now, math.min(full, now + minute)) + minute / ARGV[1]
if full - now > minute + 1 then return math.ceil(full - now - minute) end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0

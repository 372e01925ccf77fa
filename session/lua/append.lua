-- Appends to the running reply what follows its first `at` bytes, and returns
-- how long it is then; -1: another's to write, or ended. It stands without the
-- prelude, since it runs for every token: the lease alone says that session
-- and reply are there, and renew.lua slides the time to live.
-- KEYS: turn, text, followers, reply. ARGV: lease value, at, bytes, lease ms,
-- time to live in ms, node, reply id, head of what followers are told.
local lease, at, bytes = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local call = redis.call
local holder = call('GET', KEYS[1])
if holder ~= lease then
  -- It may have run out: it is still ours as long as nobody took it.
  if holder or call('HGET', KEYS[4], 'lease') ~= lease or call('HGET', KEYS[4], 'id') ~= ARGV[7] then
    return -1
  end
  call('SET', KEYS[1], lease, 'PX', ARGV[4])
end
local size = call('STRLEN', KEYS[2])
if size < at or size >= at + #bytes then
  return size -- the store lost some, or this was here before
end
if size > at then
  bytes = string.sub(bytes, size - at + 1)
end
local now = call('APPEND', KEYS[2], bytes)
if size == 0 then
  call('PEXPIRE', KEYS[2], ARGV[5])
end
for _, name in ipairs(call('ZRANGE', KEYS[3], 0, -1)) do
  if name ~= ARGV[6] then
    call('PUBLISH', 'chathub:' .. name, ARGV[8] .. size .. '\n' .. bytes)
  end
end
return now

-- Appends to running replies, to each what follows its first `at` bytes, and
-- returns for each how long it is then; -1: another's to write, or ended; -2:
-- the lease ran out, renew.lua may take it again. It stands without the prelude
-- and takes many replies at once, since it runs for every token: calling a
-- script costs more than appending. The lease alone says that session and
-- reply are there, and renew.lua slides the time to live. In a cluster the
-- replies of one call share a slot.
-- KEYS, for each: turn, text, followers. ARGV: node, time to live in ms, then
-- for each: lease value, at, bytes, epoch.
local call = redis.call
local node, ttl = ARGV[1], ARGV[2]

local function append(turn, text, followers, lease, at, bytes, epoch)
  local holder = call('GET', turn)
  if holder ~= lease then return holder and -1 or -2 end
  local size = call('STRLEN', text)
  if size < at or size >= at + #bytes then
    return size -- the store lost some, or this was here before
  end
  if size > at then bytes = string.sub(bytes, size - at + 1) end
  local now = call('APPEND', text, bytes)
  if size == 0 then call('PEXPIRE', text, ttl) end
  for _, name in ipairs(call('ZRANGE', followers, 0, -1)) do
    if name ~= node then
      local id, reply = string.match(text, '{(.*)}:text:(.*)')
      call('PUBLISH', 'chathub:' .. name,
        'text ' .. id .. ' ' .. reply .. ' ' .. epoch .. ' ' .. size .. '\n' .. bytes)
    end
  end
  return now
end

local sizes = {}
for i = 1, #KEYS / 3 do
  local k, a = 3 * i, 4 * i
  sizes[i] = append(KEYS[k - 2], KEYS[k - 1], KEYS[k],
    ARGV[a - 1], tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2])
end
return sizes

-- Appends to running replies, to each what follows its first `at` bytes, and
-- returns for each how long it is then; -1: another's to write, or ended; -2:
-- the lease ran out, renew.lua may take it again. It stands without the prelude
-- and takes many replies at once, since it runs for every token: calling a
-- script costs more than appending, and a command from within it as much. The
-- lease alone says that session and reply are there, and renew.lua slides the
-- time to live. In a cluster the replies of one call share a slot.
-- KEYS: the turns of all, the texts of all, the followers of all. ARGV: node,
-- time to live in ms, then for each: lease value, at, bytes, epoch.
local call = redis.call
local node, ttl = ARGV[1], ARGV[2]
local n = #KEYS / 3
local holders = call('MGET', unpack(KEYS, 1, n))
local followed = call('EXISTS', unpack(KEYS, 2 * n + 1)) > 0

-- cut leaves a text its first size bytes.
local function cut(text, size)
  if size == 0 then return call('DEL', text) end
  call('SET', text, call('GETRANGE', text, 0, size - 1), 'KEEPTTL')
end

local function append(holder, text, followers, lease, at, bytes, epoch)
  if holder ~= lease then return holder and -1 or -2 end
  local now = call('APPEND', text, bytes)
  local size = now - #bytes
  if size ~= at then -- the store lost some, or all or part of this was here before
    cut(text, size)
    if size < at or size >= at + #bytes then return size end
    bytes = string.sub(bytes, size - at + 1)
    now = call('APPEND', text, bytes)
  end
  if size == 0 then call('PEXPIRE', text, ttl) end
  if not followed then return now end
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
for i = 1, n do
  local a = 4 * i
  sizes[i] = append(holders[i], KEYS[n + i], KEYS[2 * n + i],
    ARGV[a - 1], tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2])
end
return sizes

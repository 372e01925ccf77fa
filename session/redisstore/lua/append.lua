-- Appends to the texts of running replies, and publishes what is new. Returns for each
-- its length; -1: the fence is another; below that, -2 - length: the conversation's
-- version is another. It takes many texts, since it runs for every token and calling
-- it costs more than appending does. In a cluster its keys must share a slot.
-- KEYS: fences of all, texts of all, followers of all, heads of those to compare.
-- ARGV: this node, time to live of a text (ms), number of texts; for each: fence, offset
-- of the bytes, bytes; for each head: number of its text, version.
local call = redis.call
local node, life, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local rights = call('MGET', unpack(KEYS, 1, n))
local followed = false -- by another node, one of the texts
for _, name in ipairs(call('ZUNION', n, unpack(KEYS, 2 * n + 1, 3 * n))) do
  followed = followed or name ~= node
end

local function append(text, followers, right, at, bytes)
  if bytes == '' then return call('STRLEN', text) end
  local now = call('APPEND', text, bytes)
  local size = now - #bytes
  if size ~= at then -- Redis lost some, or an earlier call appended some of this
    if size == 0 then call('DEL', text) else call('SET', text, call('GETRANGE', text, 0, size - 1), 'KEEPTTL') end
    if size < at or size >= at + #bytes then return size end
    bytes = string.sub(bytes, size - at + 1)
    now = call('APPEND', text, bytes)
  end
  if size == 0 then call('PEXPIRE', text, life) end
  if followed then
    local hint = 'text ' .. string.match(text, '{(.*)}') .. ' ' .. right .. ' ' .. size .. '\n' .. bytes
    for _, name in ipairs(call('ZRANGE', followers, 0, -1)) do
      if name ~= node then call('PUBLISH', 'hub:' .. name, hint) end
    end
  end
  return now
end

local sizes = {}
for i = 1, n do
  local right, at, bytes = unpack(ARGV, 3 * i + 1, 3 * i + 3)
  sizes[i] = rights[i] == right and append(KEYS[n + i], KEYS[2 * n + i], right, tonumber(at), bytes) or -1
end
for k = 3 * n + 1, #KEYS do
  local of = 2 * (k - 3 * n - 1) + 3 * n + 4
  local i, version = tonumber(ARGV[of]), ARGV[of + 1]
  if sizes[i] >= 0 and call('HGET', KEYS[k], 'v') ~= version then sizes[i] = -2 - sizes[i] end
end
return sizes

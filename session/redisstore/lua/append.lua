-- Appends to the texts of running replies, and publishes what is new of those that other
-- nodes follow. Returns for each its length; -1: the fence is another; below that,
-- -2 - length: the conversation's version is another. It takes many texts, since it runs
-- for every token and calling it costs more than appending does. In a cluster its keys
-- must share a slot.
-- KEYS: fences of all, texts of all, followers of the followed ones, heads of those to compare.
-- ARGV: this node, time to live of a text (ms), number of texts, number of followed ones; for
-- each text: fence, offset of the bytes, bytes; for each followed one, its number; for each
-- head: number of its text, version.
local call = redis.call
local node, life, n, followed = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local rights = call('MGET', unpack(KEYS, 1, n))

-- Returns a text's new length, and where the bytes that are new begin, and these.
local function append(text, at, bytes)
  if bytes == '' then
    local size = call('STRLEN', text)
    return size, size, ''
  end
  local now = call('APPEND', text, bytes)
  local size = now - #bytes
  if size ~= at then -- Redis lost some, or an earlier call appended some of this
    if size == 0 then call('DEL', text) else call('SET', text, call('GETRANGE', text, 0, size - 1), 'KEEPTTL') end
    if size < at or size >= at + #bytes then return size, size, '' end
    bytes = string.sub(bytes, size - at + 1)
    now = call('APPEND', text, bytes)
  end
  if size == 0 then call('PEXPIRE', text, life) end
  return now, size, bytes
end

local sizes, at, new = {}, {}, {}
for i = 1, n do
  local right, from, bytes = unpack(ARGV, 3 * i + 2, 3 * i + 4)
  sizes[i] = -1
  if rights[i] == right then sizes[i], at[i], new[i] = append(KEYS[n + i], tonumber(from), bytes) end
end
-- Also where nothing is new: a node that began to follow before its writer knew may lack what
-- was appended meanwhile. It compares the length, and reads.
for k = 1, followed do
  local i = tonumber(ARGV[3 * n + 4 + k])
  if at[i] then
    local hint = 'text ' .. string.match(KEYS[i], '{(.*)}') .. ' ' .. rights[i] .. ' ' .. at[i] .. '\n' .. new[i]
    for _, name in ipairs(call('ZRANGE', KEYS[2 * n + k], 0, -1)) do
      if name ~= node then call('PUBLISH', 'hub:' .. name, hint) end
    end
  end
end
for k = 2 * n + followed + 1, #KEYS do
  local of = 2 * (k - 2 * n - followed - 1) + 3 * n + followed + 5
  local i, version = tonumber(ARGV[of]), ARGV[of + 1]
  if sizes[i] >= 0 and call('HGET', KEYS[k], 'v') ~= version then sizes[i] = -2 - sizes[i] end
end
return sizes

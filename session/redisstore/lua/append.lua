-- Appends to the texts of running replies, and publishes what is new. Returns for each
-- its length; -1: the fence is another; below that, -2 - length: the conversation's
-- version is another. It takes many texts, since it runs for every token and calling
-- it costs more than appending does. In a cluster its keys must share a slot.
-- KEYS: fences of all, texts of all, followers of all, heads of all.
-- ARGV: this node, time to live of a text (ms), and for each: fence, offset of the
-- bytes, bytes, version ('': do not compare), beginning of the hint.
local call = redis.call
local node, life = ARGV[1], ARGV[2]
local n = #KEYS / 4
local rights = call('MGET', unpack(KEYS, 1, n))
local followed = call('EXISTS', unpack(KEYS, 2 * n + 1, 3 * n)) > 0

local function append(text, followers, at, bytes, hint)
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
    for _, name in ipairs(call('ZRANGE', followers, 0, -1)) do
      if name ~= node then call('PUBLISH', 'hub:' .. name, hint .. ' ' .. size .. '\n' .. bytes) end
    end
  end
  return now
end

local sizes = {}
for i = 1, n do
  local right, at, bytes, version, hint = unpack(ARGV, 5 * i - 2, 5 * i + 2)
  if rights[i] ~= right then
    sizes[i] = -1
  else
    sizes[i] = append(KEYS[n + i], KEYS[2 * n + i], tonumber(at), bytes, hint)
    if version ~= '' and call('HGET', KEYS[3 * n + i], 'v') ~= version then sizes[i] = -2 - sizes[i] end
  end
end
return sizes

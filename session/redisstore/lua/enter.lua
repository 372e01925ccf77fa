-- Counts a reply among a client's running ones: members "node reply", by expiry.
-- Returns nothing, or, if there are as many as there may be, their nodes.
-- KEYS: the key. ARGV: this node, reply ('': only look), most, how long it counts (ms), dead nodes.
local key, node, reply, most, life = KEYS[1], unpack(ARGV)
local call = redis.call
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local dead, nodes = {}, {}
for i = 5, #ARGV do dead[ARGV[i]] = true end
local counted, known = call('ZRANGE', key, 0, -1, 'WITHSCORES'), false
for i = 1, #counted, 2 do
  local whose, which = string.match(counted[i], '^(%S+) (%S+)$')
  local till = tonumber(counted[i + 1])
  if till <= now or till > now + life or dead[whose] or which == reply then
    call('ZREM', key, counted[i])
    if till > now + life and not dead[whose] then till = now + life end -- the clock has stepped back
    if till > now and not dead[whose] and which ~= reply then call('ZADD', key, till, counted[i]) end
  end
  if which == reply then
    known = true
  elseif till > now and not dead[whose] then
    nodes[#nodes + 1] = whose
  end
end
if not known and #nodes >= tonumber(most) then return nodes end
if reply == '' then return {} end
call('ZADD', key, now + life, node .. ' ' .. reply)
call('PEXPIRE', key, life)
return {}

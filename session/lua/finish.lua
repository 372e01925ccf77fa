-- Ends the reply as its writer has it, with what Redis lacks of its text.
-- ARGV: now, reply id, lease value, kind, header, at, rest, size of it all.
local now, id, lease, kind, header, at, rest, size = unpack(ARGV, 5)
if not here() then return {'not found'} end
if call('HGET', reply, 'id') ~= id then
  -- It may have been stored and the answer lost. If it was cut since, its text
  -- is still there. What another node stored in its place has another header.
  local at = replyAt(id)
  local mine
  if at then
    mine = string.match(record(at), '^%a%d+ (.-)\n') == header
  else
    mine = lease ~= '' and call('EXISTS', text .. id) == 1 and call('STRLEN', text .. id) == tonumber(size)
  end
  return {mine and 'ok' or 'lost'}
end
if call('HGET', reply, 'lease') ~= lease then return {'lost'} end

local said = call('GET', text .. id) or ''
if #said < tonumber(at) then return {'behind', tostring(#said)} end
said = string.sub(said .. string.sub(rest, #said - tonumber(at) + 1), 1, tonumber(size))
touch() -- first, so that even a full Redis takes the end of a reply
store(kind, id, header, said, now)
return {'ok'}

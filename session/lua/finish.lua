-- Ends the reply as its writer has it, with what Redis lacks of its text.
-- ARGV: now, reply id, lease value, kind, header, at, rest, size of it all.
local now, id, lease, kind, header, at, rest, size = unpack(ARGV, 4)
if call('EXISTS', session) == 0 then return {'not found'} end
if call('HGET', reply, 'id') ~= id then
  -- It may have been stored and the answer lost. If it was cut since, its text
  -- is still there, whatever message has its id now. What another node stored
  -- in its place has another header.
  local at = call('ZRANK', ids, id)
  local r = at and record(at)
  local mine
  if r and string.sub(r, 1, 1) ~= 'u' then
    mine = string.match(r, '^%a%d+ (.-)\n') == header
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
call('SET', text .. id, said, 'PX', 60000)
store(kind, id, header, said, now)
return {'ok'}

-- Ends the running reply whoever writes it, with the text that is here. What
-- its writer sends from now on is refused. ARGV: now, reply id, header.
local now, id, header = unpack(ARGV, 5)
if not here() then return {'not found'} end
if call('HGET', reply, 'id') == id then
  touch() -- first, so that even a full Redis takes the end of a reply
  store('a', id, header, whole(call('GET', text .. id) or ''), now)
end
local at = replyAt(id)
if not at then return {'lost'} end
return {'ok', record(at)}

-- Forgets the conversation, and returns whose it was and the key that made it.
-- ARGV: a name for this deletion. It is kept for a moment, so that the deletion
-- can be told from a session that never was when its answer is lost.
local name = ARGV[5]
local grave = text .. 'gone'
if not here() then
  local was = call('HMGET', grave, 'name', 'owner', 'key')
  if was[1] == name then return {'ok', was[2], was[3]} end
  return {'not found'}
end
local was = call('HMGET', session, 'owner', 'key')
tell('gone')
local id = call('HGET', reply, 'id')
if id then call('DEL', text .. id) end
call('DEL', session, messages, ids, edited, reply, turn, conn, followers)
call('HSET', grave, 'name', name, 'owner', was[1] or '', 'key', was[2] or '')
call('PEXPIRE', grave, 10000)
return {'ok', was[1] or '', was[2] or ''}

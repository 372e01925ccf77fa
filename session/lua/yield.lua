-- Gives the lease up, so that whoever follows goes on at once. ARGV: reply id,
-- lease value.
local id, lease = unpack(ARGV, 5)
if not here() then return {'not found'} end
if call('HGET', reply, 'id') ~= id or call('HGET', reply, 'lease') ~= lease then return {'lost'} end
call('HSET', reply, 'free', 1, 'lease', '')
call('DEL', turn)
tell('look', id)
touch()
return {'ok'}

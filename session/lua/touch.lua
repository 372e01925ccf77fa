-- Keeps the conversation of an open connection alive, and returns what shows
-- that a hint was missed. ARGV: the connection as connect.lua stored it ('':
-- none), its time to live in ms.
local mine, connTTL = unpack(ARGV, 5)
if not here() then return {'not found'} end
local holder = call('GET', conn) or ''
if mine ~= '' and holder == mine then call('PEXPIRE', conn, connTTL) end
touch()
return {'ok', holder, idAt(call('ZCARD', ids) - 1), call('HGET', reply, 'id') or ''}

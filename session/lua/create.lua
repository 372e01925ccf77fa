-- Makes the session, or finds it. ARGV: now, owner, key.
local now, owner, key = unpack(ARGV, 4)
if call('EXISTS', session) == 0 then
  call('HSET', session, 'created', now, 'updated', now, 'owner', owner, 'key', key)
end
touch()
return {'ok', call('HMGET', session, 'created', 'updated', 'owner'), running(), '', '0',
  call('LRANGE', messages, 0, -1)}

-- Keeps the lease. ARGV: reply id, lease value, lease ms.
local id, lease, leaseMS = unpack(ARGV, 5)
if not here() then return {'not found'} end
if call('HGET', reply, 'id') ~= id or call('HGET', reply, 'lease') ~= lease then return {'lost'} end
call('SET', turn, lease, 'PX', leaseMS)
touch()
return {'ok'}

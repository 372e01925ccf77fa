-- Returns the session with what lies behind a place. ARGV: message id, seq.
local id, seq = unpack(ARGV, 5)
if not here() then return {'not found'} end

local n
local at = call('ZRANK', ids, id)
if at and seq == '0' then
  while at >= 0 and call('SISMEMBER', edited, idAt(at)) == 1 do at = at - 1 end
  n = at + 1
elseif at and tonumber(call('ZSCORE', ids, id)) == tonumber(seq) then
  n = at + 1
elseif call('HGET', reply, 'id') == id then
  n = call('ZCARD', ids)
else
  n = call('ZCOUNT', ids, '-inf', seq)
end
local before, beforeSeq = '', '0'
if n > 0 then
  before = idAt(n - 1)
  beforeSeq = string.format('%.0f', tonumber(call('ZSCORE', ids, before)))
end
touch()
return {'ok', call('HMGET', session, 'created', 'updated', 'owner', 'born'), running(), before, beforeSeq,
  call('LRANGE', messages, n, -1)}

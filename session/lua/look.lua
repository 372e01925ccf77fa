-- Registers the node as one that follows, and returns what there is of the
-- running reply behind a length. ARGV: reply id, length, how long the
-- registration holds in ms, most bytes to return.
local id, from, hold, most = unpack(ARGV, 5)
if not here() then return {'not found'} end
if call('HGET', reply, 'id') ~= id then return {'ended'} end
local now = math.floor(micros() / 1000)
call('ZADD', followers, now + tonumber(hold), node)
call('ZREMRANGEBYSCORE', followers, '-inf', now)
call('PEXPIRE', followers, hold)
call('HSET', reply, 'looked', string.format('%.0f', now))
local state = call('HMGET', reply, 'epochs', 'lease', 'free')
return {'ok', state[1], call('GET', turn) or '', state[3] and 'free' or '',
  call('GETRANGE', text .. id, from, from + most - 1)}

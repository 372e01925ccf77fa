-- Slides a conversation's time to live. Returns its version ('': there is none), the
-- name of its idempotency key ('': none), and the time to live (ms), as strings.
-- KEYS: head, log, fence, text, followers.
-- ARGV: this node, whether it wants hints ('1'), for how long (ms), whether it has the
-- connection ('1'), shortest time to live of a conversation in use (ms).
local head, log, fence, text, followers = unpack(KEYS)
local node, held, hold, connected, least = unpack(ARGV)
local call = redis.call
local version, life, claim = unpack(call('HMGET', head, 'v', 'life', 'claim'))
if not life then return {version or '', '', '0'} end
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
call('ZREMRANGEBYSCORE', followers, '-inf', now) -- needs no memory, so a full Redis takes the rest
if held ~= '1' then call('ZREM', followers, node) end
if held == '1' then -- also where the connection is: another node may take that from those who watch
  call('ZADD', followers, now + hold, node)
  call('PEXPIRE', followers, hold)
end
if connected == '1' or call('EXISTS', followers) == 1 then life = math.max(life, least) end
for _, key in ipairs({head, log, fence, text}) do call('PEXPIRE', key, life) end
return {version, claim or '', tostring(life)}

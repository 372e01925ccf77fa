-- Takes over a reply that nobody writes, and returns its text. The reply of
-- which too many writers died ends as failed. ARGV: now, reply id, lease value,
-- lease ms, how many may die, header for its end, bytes of history.
local now, id, lease, leaseMS, deaths, header, most = unpack(ARGV, 5)
if not here() then return {'not found'} end
if call('HGET', reply, 'id') ~= id then return {replyAt(id) and 'ended' or 'lost'} end

if call('HGET', reply, 'lease') ~= lease then
  local holder = call('GET', turn)
  if holder and string.match(holder, '^%S+') ~= node then return {'written'} end
  local said = call('GET', text .. id) or ''
  local sane = whole(said)
  if not call('HGET', reply, 'free') then
    if call('HINCRBY', reply, 'deaths', 1) > tonumber(deaths) then
      store('e', id, header, sane, now)
      return {'failed'}
    end
  end
  if #sane < #said then call('SET', text .. id, sane, 'PX', ttl) end
  -- An epoch's number is the time, so that none is given twice even where a
  -- failover has lost the last one.
  local epochs = call('HGET', reply, 'epochs')
  local last = tonumber(string.match(epochs, '(%d+):%d+ $') or 0)
  local epoch = string.format('%.0f', math.max(math.floor(micros() / 1000), last + 1))
  call('HSET', reply, 'lease', lease, 'epochs', epochs .. epoch .. ':' .. #sane .. ' ')
  call('HDEL', reply, 'free')
end
call('SET', turn, lease, 'PX', leaseMS)
tell('look', id)
touch()
local last = call('ZCARD', ids) - 1
return {'ok', record(last), idAt(last - 1), running(), call('GET', text .. id) or '', history(tonumber(most))}

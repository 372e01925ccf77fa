-- Does one turn, as entry.say does. ARGV: now, kind of turn, message id,
-- header, content, of, reply id, model, lease value, lease ms, bytes of history,
-- most messages (0: any number).
local now, kind, userID, header, said, of, replyID, model, lease, leaseMS, most, limit = unpack(ARGV, 5)
if not here() then return {'not found'} end

local run = call('HGET', reply, 'id') or ''
local known = call('ZRANK', ids, userID)

-- answer returns what became of the turn whose user message is at index i.
local function answer(status, i, ended, past)
  touch()
  return {status, record(i), idAt(i - 1), running(), ended or '', past or {},
    call('HGET', reply, 'lease') or ''}
end

local function cut(n)
  if call('EXISTS', edited) == 1 then
    for _, id in ipairs(call('ZRANGE', ids, n, -1)) do call('SREM', edited, id) end
  end
  if n == 0 then call('DEL', messages) else call('LTRIM', messages, 0, n - 1) end
  call('ZREMRANGEBYRANK', ids, n, -1)
end

-- start makes replyID the running reply to the message at index i, the last.
local function start(i)
  local user = idAt(i)
  call('HSET', reply, 'id', replyID, 'user', user, 'model', model,
    'userSeq', string.match(record(i), '^.(%d+)'), 'seq', nextSeq(),
    'lease', lease, 'epochs', '', 'deaths', 0)
  call('SET', turn, lease, 'PX', leaseMS)
  call('HSET', session, 'updated', now)
  tell('changed')
  return answer('started', i, nil, history(tonumber(most)))
end

local function tooMany(had) return tonumber(limit) > 0 and had + 2 > tonumber(limit) end

local function ask()
  if tooMany(call('ZCARD', ids)) then return {'long'} end
  local seq = nextSeq()
  call('RPUSH', messages, 'u' .. seq .. ' ' .. header .. '\n' .. said)
  call('ZADD', ids, seq, userID)
  return start(call('ZCARD', ids) - 1)
end

-- The very same turn, asked once more.
if run == replyID then
  if string.match(call('HGET', reply, 'lease'), '^%S+') == node then
    call('SET', turn, call('HGET', reply, 'lease'), 'PX', leaseMS, 'NX')
    return answer('started', call('ZCARD', ids) - 1, nil, history(tonumber(most)))
  end
  return answer('running', call('ZCARD', ids) - 1)
end
local done = replyAt(replyID)
if done then return answer('ended', done - 1, record(done)) end
-- Its reply has ended and was cut since: the request comes late, or its answer
-- was lost for so long. It begins nothing any more.
local late = call('EXISTS', text .. replyID) == 1

if kind == 'submit' and known then
  local r = record(known)
  if string.sub(r, 1, 1) ~= 'u' or content(r) ~= said then return {'reused'} end
  if call('HGET', reply, 'user') == userID then return answer('running', known) end
  local ended = record(known + 1)
  if late or string.sub(ended, 1, 1) ~= 'e' or call('ZCARD', ids) > known + 2 or run ~= '' then
    return answer('ended', known, ended)
  end
  cut(known + 1)
  return start(known)
end

if kind == 'regenerate' and of ~= '' and run ~= of and not call('ZRANK', ids, of) then
  touch()
  return {'done'}
end
if late or run ~= '' then return {'busy'} end

if kind == 'regenerate' then
  local last = call('ZCARD', ids) - 1
  if last < 0 or of ~= '' and idAt(last) ~= of then return {'nothing'} end
  cut(last)
  return start(last - 1)
elseif kind == 'again' then
  local i = call('ZRANK', ids, of)
  if not i or string.sub(record(i), 1, 1) ~= 'u' then return {'nothing'} end
  cut(i + 1)
  return start(i)
elseif kind == 'edit' then
  if known and string.sub(record(known), 1, 1) ~= 'u' then return {'reused'} end
  if tooMany(known or call('ZCARD', ids)) then return {'long'} end
  if known then cut(known) end
  call('SADD', edited, userID) -- also if it was cut meanwhile: somebody may know its old place
end
return ask()

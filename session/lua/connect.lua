-- Records whose the conversation's connection is: node SP connection SP
-- client. ARGV: that value, its time to live in ms, how ('', 'again': unless
-- another client has it, 'free': unless anybody has it).
local mine, connTTL, how = unpack(ARGV, 4)
if call('EXISTS', session) == 0 then return {'not found'} end
local holder = call('GET', conn) or ''
if holder ~= '' and holder ~= mine then
  local client = string.match(mine, '%S+$')
  if how == 'free' or how == 'again' and string.match(holder, '%S+$') ~= client then
    return {'taken'}
  end
  local name, id = string.match(holder, '^(%S+) (%S+)')
  if name ~= node then
    call('PUBLISH', 'chathub:' .. name, 'taken ' .. string.match(session, '{(.*)}') .. ' ' .. id)
  end
end
call('SET', conn, mine, 'PX', connTTL)
touch()
return {'ok', holder}

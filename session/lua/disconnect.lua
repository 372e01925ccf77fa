-- Forgets the connection if it is still the one; else tells the node whose
-- turn it is that it has closed. ARGV: node SP connection.
local mine = ARGV[5]
if not here() then return {'not found'} end
local holder = call('GET', conn) or ''
if string.sub(holder, 1, #mine + 1) == mine .. ' ' then
  call('DEL', conn)
else
  local name = string.match(holder, '^%S+')
  if name and name ~= node then
    call('PUBLISH', 'chathub:' .. name, 'left ' .. string.match(session, '{(.*)}') .. ' ' .. string.match(mine, '^%S+ (%S+)'))
  end
end
return {'ok'}

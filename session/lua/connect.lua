-- Records whose the conversation's connection is: node SP connection SP
-- client. ARGV: that value, its time to live in ms, how ('', 'again': unless
-- another client has it, 'free': unless anybody has it), and the value of which
-- the same client may be taken over from: the one that was there before it was
-- last seen alive. Of a page's two attempts the one that it gave up comes to
-- this again and again, or finds that it is not alive.
local mine, connTTL, how, before = unpack(ARGV, 5)
local nobody = '00000000-0000-0000-0000-000000000000'
if not here() then return {'not found'} end
local holder = call('GET', conn) or ''
if holder ~= '' and holder ~= mine then
  local client = string.match(mine, '%S+$')
  local same = client == string.match(holder, '%S+$')
  if how == 'free' or how == 'again' and not same then return {'taken'} end
  if same and client ~= nobody and holder ~= before then return {'itself', holder} end
  local name, id = string.match(holder, '^(%S+) (%S+)')
  if name ~= node then
    call('PUBLISH', 'chathub:' .. name, 'taken ' .. string.match(session, '{(.*)}') .. ' ' .. id .. ' ' .. born)
  end
end
call('SET', conn, mine, 'PX', connTTL)
touch()
return {'ok', holder}

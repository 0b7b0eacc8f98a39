local does = { reserve, settle, release, extend, renew, grant, announce, post, load_budgets, joined,
               audit, forget }
local answers = {}
for i, op in ipairs(request[5]) do
  local fine, answer = pcall(does[op[1]], op)
  if fine then answers[i] = answer
  else answers[i] = { -1, type(answer) == 'table' and answer.err or tostring(answer) } end
end
return cmsgpack.pack({ 0, now, answers })

-- What the tightest window of a unit leaves: limit, left, time until it is as if unused.
local function tightest(windows)
  local least
  for _, window in ipairs(windows) do
    if not least or window.ceiling - window.total < least.ceiling - least.total then
      least = window
    end
  end
  if not least then return false, false, false, false end
  local left = math.max(least.ceiling - least.total, 0)
  return least.ceiling, left, (least.slot + 1 + SUBSLOTS) * least.width - now, least.index
end

-- How much of a unit a request can use, or differs by.
local function part_of(unit, requests, tokens, output)
  if unit == 0 then return requests end
  if unit == 1 then return tokens end
  if unit == 3 then return tokens - output end
  return output
end

local function headroom(by_request, by_token, code)
  local lr, rr, xr, ir = tightest(by_request)
  local lt, rt, xt, it = tightest(by_token)
  return { code, lr, rr, xr, lt, rt, xt, false, false, ir, it, false, false }
end

-- The window of a budget that holds the money of now, or nil: the budget is not known here.
local function purse(budget)
  local key = base .. 'b:' .. budget[1]
  local start = budget[3]
  local known = call('HMGET', key, 'p', 'f', 's' .. start, 'k' .. start, 'h' .. start)
  if known[1] ~= budget[2] then return nil end
  if tonumber(known[2]) > start then
    start = tonumber(known[2])
    known = call('HMGET', key, 'p', 'f', 's' .. start, 'k' .. start, 'h' .. start)
  end
  local p = { key = key, start = start, settled = known[3] or '0', booked = known[4] or '0',
              held = known[5] or '0' }
  spread(p, budget[5])
  return p
end

-- What budgets with stages have used, as { place, nano }; false: there is none.
local function used_of(budgets, purses)
  local used = {}
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    if budget[6] then
      used[#used + 1] = { i, add_up(p.key, add_up(p.key, p.settled, p.booked), p.held) }
    end
  end
  return #used > 0 and used
end

local function refusal(quotas, budgets, purses, windows, tokens, output, nano, room)
  local held
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    if passes(budget[4], p.settled, p.booked, nano) then
      return { 2, i, sum(p.key, p.settled, p.booked) }
    end
    if passes(budget[4], p.settled, p.booked, p.held, nano) then
      held = { 3, i, sum(p.key, p.settled, p.booked), p.held }
    end
  end
  local worst, which = 0, nil
  for i, quota in ipairs(quotas) do
    local wait = 0
    local window = windows[i]
    if not window or quota[5] then
      wait = 0 -- it only observes
    elseif quota[2] == 2 then
      if window.count >= quota[4] then wait = 1000000 end
    else
      wait = wait_us(window, part_of(quota[2], 1, tokens, output), quota[4], quota[3])
    end
    if wait == NEVER then wait = math.huge end
    if wait > worst then worst, which = wait, i end
  end
  if which then
    room[1] = 4
    room[8], room[9] = which, worst == math.huge and NEVER or worst
    return room
  end
  return held
end

-- Whether at least half of everything is left: then nobody waits for what is given back.
local function is_roomy(quotas, windows, budgets, purses, nano)
  for i, quota in ipairs(quotas) do
    local window = windows[i]
    if window and not quota[5] and 2 * (window.total or window.count) > quota[4] then
      return false
    end
  end
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    if 2 * (p.settled + p.booked + p.held + nano) > tonumber(budget[4]) then return false end
  end
  return true
end

-- { 1, request id, tokens, nano, quotas { id, unit, width_us, ceiling, only observes }, budgets {
-- id, period, start_s, amount, starts of other blocks, is told }, output tokens, only look } -> { 0, headroom, starts, is roomy, tightest of
-- requests, of tokens, quotas that observe and would have refused } | { 2 … 4, why not } |
-- { 5: awaiting } | { 6, budget ids that are not known }
local function reserve(op)
  local id, tokens, nano, quotas, budgets, output = op[2], op[3], op[4], op[5], op[6], op[7]
  local known = call('HGET', entries, id)
  if known then
    local entry = cmsgpack.unpack(known)
    if entry[1] == 0 and entry[7] then return entry[7] end
  end
  if #budgets > 0 and is_awaiting then return { 5 } end
  local purses, unknown, fits = {}, {}, true
  for i, budget in ipairs(budgets) do
    local p = purse(budget)
    if not p then
      unknown[#unknown + 1] = budget[1]
    else
      purses[i] = p
      if passes(budget[4], p.settled, p.booked, p.held, nano) then fits = false end
    end
  end
  if #unknown > 0 then return { 6, unknown } end
  local windows, by_request, by_token, missed = {}, {}, {}, {}
  for i, quota in ipairs(quotas) do
    local unit, observes, window, has_room = quota[2], quota[5], nil, nil
    if unit == 2 then
      window = crowd_of(quota[1])
      has_room = window.count < quota[4]
    else
      window = roll(quota[1], unit, quota[3], quota[4])
      window.index = i
      has_room = window.total + part_of(unit, 1, tokens, output) <= quota[4]
      if not observes then
        local found = unit == 0 and by_request or by_token
        found[#found + 1] = window
      end
    end
    if has_room or not observes then
      windows[i] = window
      fits = fits and has_room
    else
      windows[i] = false
      missed[#missed + 1] = i
    end
  end
  if not fits then
    return refusal(quotas, budgets, purses, windows, tokens, output, nano,
                   headroom(by_request, by_token, 0))
  end
  local used = used_of(budgets, purses)
  if op[8] then
    local answer = headroom(by_request, by_token, 0)
    answer[13] = used
    return answer
  end
  local booked, leases, held, starts = {}, {}, {}, {}
  for i, quota in ipairs(quotas) do
    local window, unit = windows[i], quota[2]
    if not window then -- it only observes, and would have refused
    elseif unit == 2 then
      take_slot(window, id)
      leases[#leases + 1] = quota[1]
    else
      count_in(window, window.slot, window.count, part_of(unit, 1, tokens, output))
      booked[#booked + 1] = { quota[1], unit, window.slot, window.width }
    end
  end
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    call('HINCRBY', p.key, 'h' .. p.start, nano)
    held[i] = { budget[1], p.start }
    starts[i] = p.start
  end
  local answer = headroom(by_request, by_token, 0)
  answer[8], answer[9] = starts, is_roomy(quotas, windows, budgets, purses, nano)
  answer[13] = used
  if #missed > 0 then answer[12] = missed end
  local entry = { 0, tokens, nano, booked, leases, held, answer, output }
  call('HSET', entries, id, cmsgpack.pack(entry))
  if not is_owner then
    is_owner = true
    call('SADD', base .. 'owners', owner)
  end
  return answer
end

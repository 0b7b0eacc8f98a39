-- A sliding window rolled to now: its newest sub-slot and what that counts, its oldest sub-slot,
-- and the total.
local function roll(id, unit, width, ceiling)
  local key = base .. 'q:' .. id .. UNITS[unit]
  local window = rolled[key]
  if window and window.width == width then
    window.ceiling = ceiling
    return window
  end
  local slot = floor(now / width)
  window = { key = key, slot = slot, count = 0, total = 0, oldest = slot, width = width,
             ceiling = ceiling }
  rolled[key] = window
  local known = call('HMGET', key, 'w', 't', 'c', 'o', digits_of(slot))
  if not known[1] then
    call('HSET', key, 'w', width, 't', 0, 'c', slot, 'o', slot)
    call('PEXPIRE', key, floor(width * 130 / 1000) + 1)
    return window
  end
  local count = tonumber(known[5] or 0)
  local total, newest, oldest = tonumber(known[2]), tonumber(known[3]), tonumber(known[4])
  local old_width = tonumber(known[1])
  if old_width ~= width or newest - slot > 2 * SUBSLOTS then
    local moved, last = {}, nil
    for s = oldest, newest do
      local count = call('HGET', key, s)
      if count then
        local to = slot
        if old_width ~= width then to = math.min(slot, floor((s + 1) * old_width / width)) end
        moved[to] = (moved[to] or 0) + tonumber(count)
        if not last or to < last then last = to end
      end
    end
    call('DEL', key)
    call('HSET', key, 'w', width, 't', total, 'c', slot, 'o', last or slot)
    for s, count in pairs(moved) do call('HSET', key, s, count) end
    newest, oldest, count = slot, last or slot, moved[slot] or 0
  end
  if slot < newest then
    slot = newest
    count = tonumber(call('HGET', key, slot) or 0)
  end
  local keeps = slot - SUBSLOTS
  if slot > newest or oldest < keeps then
    for s = oldest, math.min(newest, keeps - 1) do
      local count = call('HGET', key, s)
      if count then
        total = total - tonumber(count)
        call('HDEL', key, s)
      end
    end
    oldest = math.max(oldest, keeps)
    if oldest > newest then oldest = slot end
    call('HSET', key, 't', total, 'c', slot, 'o', oldest)
    call('PEXPIRE', key, floor(width * 130 / 1000) + 1)
  end
  window.slot, window.count, window.total, window.oldest = slot, count, total, oldest
  return window
end

local function wait_us(window, demand, ceiling, width)
  local excess = window.total + demand - ceiling
  if excess <= 0 then return 0 end
  for s = window.oldest, window.slot do
    local count = call('HGET', window.key, s)
    if count then
      excess = excess - tonumber(count)
      if excess <= 0 then return (s + SUBSLOTS + 1) * width - now end
    end
  end
  return NEVER
end

-- Change what a sub-slot of a window counts, which is in it.
local function count_in(window, slot, count, difference)
  window.total = window.total + difference
  if slot == window.slot then window.count = count + difference end
  call('HSET', window.key, digits_of(slot), digits_of(count + difference),
       't', digits_of(window.total))
end

-- Leases that have not ended.
local function crowd_of(id)
  local key = base .. 'c:' .. id
  local crowd = crowds[key]
  if not crowd then
    call('ZREMRANGEBYSCORE', key, '-inf', digits_of(now))
    crowd = { key = key, count = call('ZCARD', key) }
    crowds[key] = crowd
  end
  return crowd
end

local function take_slot(crowd, id)
  crowd.count = crowd.count + call('ZADD', crowd.key, digits_of(now + lease_us), id)
  if not crowd.is_kept then
    crowd.is_kept = true
    call('PEXPIRE', crowd.key, digits_of(floor(lease_us / 500) + 1))
  end
end

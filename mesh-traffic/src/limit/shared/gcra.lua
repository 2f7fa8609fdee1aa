-- The generic cell rate algorithm for one key. KEYS[1]: where its number is kept: when its allowance is whole again.
-- ARGV[1]: what a request takes, in microseconds. ARGV[2]: what a whole allowance is. Returns 0 if the request passes,
-- else how many microseconds it came too early.
-- The time is the server's: one clock for all who ask. It is counted from a moment in 2023, so that fractions of a
-- microsecond still fit into a double.
local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000000 + time[2]
local takes, whole = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole_at = tonumber(redis.call('GET', KEYS[1]) or now)
if not whole_at or whole_at < now then whole_at = now end
local later = whole_at + takes
local early = later - now - whole
if early > 0 then return math.ceil(early) end
redis.call('SET', KEYS[1], string.format('%.17g', later), 'PX', math.ceil((later - now) / 1000) + 1)
return 0

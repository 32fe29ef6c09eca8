package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// replaceScript is appendScript for a history that has a head and no sealed chunks, before as well as after. It does the
// same with fewer words, since a server spends most of an append on those. A head or mark of another type is none.
//
//	KEYS head, mark of an erasure
//	ARGV head as read, new head, time to live in ms, when the first of the new events was sent in Unix ms
var replaceScript = redis.NewScript(`
local erased = redis.pcall('GET', KEYS[2])
erased = type(erased) == 'string' and tonumber(erased) or 0
if erased > 0 and erased >= tonumber(ARGV[4]) then return -erased end
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`)

// appendScript writes a planned change of one history, if the history is what it was planned on.
//
//	KEYS head, mark of an erasure, sealed
//	ARGV 1 head as read ("" for none), 2 new head, 3 time to live in ms, 4 "1" if sealed chunks were read,
//	     5 their revision as read ("" for none), 6 new revision ("" if no sealed chunk changes),
//	     7 "1" to remove all sealed chunks first, 8 "1" if there are sealed chunks afterwards,
//	     9 number of sealed chunks to remove, 10 when the first of the new events was sent in Unix ms,
//	     keys of sealed chunks to remove, then keys and values to write
//
// It answers 1 when done, 0 when the history has changed, and the negated moment of an erasure when the first event was
// sent before it. Sealed chunks without a head are what an eviction left.
var appendScript = redis.NewScript(`
local found = redis.call('MGET', KEYS[1], KEYS[2])
local head, erased = found[1], tonumber(found[2] or '') or 0
if erased > 0 and erased >= tonumber(ARGV[10]) then return -erased end
if (head or '') ~= ARGV[1] then return 0 end
if ARGV[4] == '1' and (redis.call('HGET', KEYS[3], 'r') or '') ~= ARGV[5] then return 0 end
if not head or ARGV[7] == '1' then redis.call('DEL', KEYS[3]) end
if ARGV[6] ~= '' then
  local last = 10 + tonumber(ARGV[9])
  for i = 11, last do redis.call('HDEL', KEYS[3], ARGV[i]) end
  for i = last + 1, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', KEYS[3], 'r', ARGV[6])
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[8] == '1' then redis.call('PEXPIRE', KEYS[3], ARGV[3]) else redis.call('DEL', KEYS[3]) end
return 1
`)

// eraseScript removes a history if its head is the one that was read, and marks the erasure.
//
//	KEYS head, sealed, mark
//	ARGV 1 head as read ("" for none), 2 moment of the erasure in Unix ms, 3 how long the mark stays in ms
//
// It answers 1 when done, 0 when the head is another. A head of another type is taken for none.
var eraseScript = redis.NewScript(`
local head = redis.pcall('GET', KEYS[1])
if (type(head) == 'string' and head or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
return 1
`)

// learnScript returns the entries of names, and gives numbers to those that have none.
//
//	KEYS numbers by name, names by number, a key to touch
//	ARGV 1 token of this call, then names
//
// It answers the entry of each name, then how many numbers are given out. The touch is a write in every case, after
// which WAIT waits for all that this answer rests on.
var learnScript = redis.NewScript(`
local size = redis.call('HLEN', KEYS[2])
local out = {}
for i = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  if not entry then
    if size >= 4294967295 then return redis.error_reply('FULL the dictionary is full') end
    entry = struct.pack('>I4', size) .. ARGV[1]
    redis.call('HSET', KEYS[1], ARGV[i], entry)
    redis.call('HSET', KEYS[2], string.format('%d', size), ARGV[1] .. ARGV[i])
    size = size + 1
  end
  out[i - 1] = entry
end
redis.call('SET', KEYS[3], size)
out[#out + 1] = size
return out
`)

// loadScripts brings the scripts to every node, after which they can be called by their hash in pipelines.
func (s *Store) loadScripts(ctx context.Context) error {
	load := func(ctx context.Context, node *redis.Client) error {
		for _, script := range []*redis.Script{replaceScript, appendScript, eraseScript} {
			if err := script.Load(ctx, node).Err(); err != nil {
				return fmt.Errorf("load script: %w", err)
			}
		}
		return nil
	}
	if s.cluster != nil {
		return s.cluster.ForEachMaster(ctx, load)
	}
	return load(ctx, s.client.(*redis.Client))
}

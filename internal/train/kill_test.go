package train

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seqrec/internal/features"
	"seqrec/internal/seqmodel"
)

// cycle is a world in which item i is followed by i+1 or i+2.
func cycle(users, items int) *features.Split {
	rng := rand.New(rand.NewPCG(7, 7))
	s := &features.Split{Items: items}
	for u := range users {
		var h []int32
		at := rng.IntN(items)
		for range 6 + rng.IntN(8) {
			h = append(h, int32(at))
			at = (at + 1 + rng.IntN(2)) % items
		}
		n := len(h)
		s.Train = append(s.Train, h[:n-2])
		s.Valid = append(s.Valid, features.Case{User: u, Input: h[:n-2], Target: h[n-2]})
		s.Test = append(s.Test, features.Case{User: u, Input: h[:n-1], Target: h[n-1]})
	}
	return s
}

// smallRun is a real model with dropout and negatives, so that every source of
// chance is in play.
func smallRun() (Network, *features.Split, Options) {
	split := cycle(60, 24)
	net := Sequence{
		Model: seqmodel.Config{Items: split.Items, Width: 8, Blocks: 1, Length: 10, Dropout: 0.2},
		Train: seqmodel.TrainConfig{Loss: seqmodel.Loss{Kind: seqmodel.BinaryCrossEntropy, Negatives: 2}, Seed: 3, Decay: 0.01, Workers: 1},
		Seed:  3,
	}
	opt := Options{
		Epochs: 6, Sampler: features.SamplerOptions{Scheme: features.RandomCut, Length: 10, BatchSize: 8, Seed: 3},
		Schedule: Schedule{Kind: Cosine, Rate: 0.02, Warmup: 5}, Workers: 1, Identity: "small",
	}
	return net, split, opt
}

func hashOf(o *Outcome) string {
	sum := sha256.Sum256(o.Weights)
	return hex.EncodeToString(sum[:])
}

const childFolder = "SEQREC_TRAIN_TEST_FOLDER"

// TestKilledChild is the program that TestKillAndResume kills: it goes on from
// the checkpoint in its folder, saves after every batch, and tells each step.
func TestKilledChild(t *testing.T) {
	folder := os.Getenv(childFolder)
	if folder == "" {
		t.Skip("only runs as the child of TestKillAndResume")
	}
	net, split, opt := smallRun()
	opt.Checkpoint, opt.Resume = filepath.Join(folder, "checkpoint"), true
	opt.CheckpointEvery = time.Nanosecond
	opt.Progress = func(Event) { fmt.Println("STEP") }
	o, err := Run(t.Context(), net, split, opt)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("HASH", hashOf(o))
}

// A run that is killed again and again, at any point of its work and of its
// writing, ends with the weights of one that was left alone.
func TestKillAndResume(t *testing.T) {
	net, split, opt := smallRun()
	whole, err := Run(t.Context(), net, split, opt)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	kills := 0
	for {
		lines := 1 + rng.IntN(40)
		hash := runChild(t, folder, lines)
		if hash == "" {
			kills++
			continue
		}
		if hash != hashOf(whole) {
			t.Errorf("after %d kills the weights hash to %.12s, uninterrupted to %.12s", kills, hash, hashOf(whole))
		}
		break
	}
	if kills == 0 {
		t.Error("the child was never killed")
	}
	t.Logf("killed %d times", kills)
}

// runChild starts the child and kills it after so many lines of progress. It
// returns the hash if the child came to its end first.
func runChild(t *testing.T, folder string, lines int) (hash string) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context()) // ending it is a SIGKILL
	defer kill()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledChild$", "-test.v")
	cmd.Env = append(os.Environ(), childFolder+"="+folder)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(out)
	for s.Scan() {
		if s.Text() == "STEP" {
			if lines--; lines == 0 {
				kill()
			}
		}
		if h, ok := strings.CutPrefix(s.Text(), "HASH "); ok {
			hash = h
		}
	}
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		t.Fatalf("the child failed by itself: %v", err)
	}
	return hash
}

func TestRealModelLearnsTheCycle(t *testing.T) {
	net, split, opt := smallRun()
	opt.Epochs = 15
	o, err := Run(t.Context(), net, split, opt)
	if err != nil {
		t.Fatal(err)
	}
	// Two next items are equally likely: a perfect model has NDCG@10 of
	// (1 + 1/log2(3))/2 = 0.815, a random one 0.19.
	if o.Valid < 0.55 {
		t.Errorf("validation NDCG@10 is %.3f after %d epochs", o.Valid, len(o.Epochs))
	}
	if first, last := o.Epochs[0].Loss, o.Epochs[len(o.Epochs)-1].Loss; last >= first {
		t.Errorf("loss went from %.3f to %.3f", first, last)
	}
}

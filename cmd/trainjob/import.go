package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"seqrec/internal/features"
)

// importCmd reads a data set of any form and writes it in ours.
type importCmd struct {
	Source          string   `arg:"" help:"File or folder to read."`
	To              string   `arg:"" optional:"" help:"Folder to write interactions.csv.gz and items.csv.gz into; without it the data is only reported on." type:"path"`
	Format          string   `help:"Form of the file, when its content does not tell: csv, dat, amazon, inter, ndjson, parquet, taobao, tmall." placeholder:"NAME"`
	UserColumn      string   `help:"Name of the column of users." placeholder:"NAME"`
	ItemColumn      string   `help:"Name of the column of items." placeholder:"NAME"`
	TimeColumn      string   `help:"Name of the column of times; - for none." placeholder:"NAME"`
	KindColumn      string   `help:"Name of the column of kinds; - for none." placeholder:"NAME"`
	RatingColumn    string   `help:"Name of the column of ratings; - for none." placeholder:"NAME"`
	TimeUnit        string   `help:"s, ms, us or ns; by default judged from the values." placeholder:"UNIT"`
	Items           string   `help:"Catalogue with titles; by default the one beside the source." type:"path" placeholder:"FILE"`
	MinItemCount    int      `help:"Leave out items with fewer events." default:"0"`
	MinUserCount    int      `help:"Leave out users with fewer events." default:"0"`
	KCore           int      `help:"Leave out users and items with fewer events until none is left." default:"0"`
	MinRating       float64  `help:"Keep ratings of at least this." default:"0"`
	Kinds           []string `help:"Keep only events of these kinds." placeholder:"KIND"`
	DropItems       []string `help:"Leave these items out." placeholder:"ITEM"`
	Users           int      `help:"Keep the first so many users; 0 keeps all." default:"0"`
	Force           bool     `help:"Write into a folder that holds a data set already, which is then gone."`
	LargestBadShare float64  `help:"More bad rows than this share is an error." default:"0.5"`
}

func (c *importCmd) options() features.ReadOptions {
	return features.ReadOptions{
		Format:   features.Format(c.Format),
		Columns:  features.Columns{User: c.UserColumn, Item: c.ItemColumn, Time: c.TimeColumn, Kind: c.KindColumn, Rating: c.RatingColumn},
		TimeUnit: features.TimeUnit(c.TimeUnit), MinRating: c.MinRating, Kinds: c.Kinds, DropItems: c.DropItems,
		MinItemCount: c.MinItemCount, MinUserCount: c.MinUserCount, KCore: c.KCore, Users: c.Users, MaxFaultShare: c.LargestBadShare,
	}
}

// Run implements runner. The last line of output is the report as JSON.
func (c *importCmd) Run(a *app) error {
	opt := c.options()
	if err := opt.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := c.free(); err != nil {
		return err
	}
	data, report, err := features.ReadContext(a.ctx, c.Source, opt)
	if report != nil {
		a.say("%s", report)
	}
	if err != nil {
		return err
	}
	if c.To != "" {
		if err := c.write(a, data); err != nil {
			return err
		}
	}
	return json.NewEncoder(a.out).Encode(report)
}

// free refuses a target that holds a data set, before a long reading rather than
// after it.
func (c *importCmd) free() error {
	if c.To == "" || c.Force {
		return nil
	}
	found, err := features.FindData(c.To)
	if err != nil {
		return fmt.Errorf("look at the target: %w", err)
	}
	if found != "" {
		return fmt.Errorf("the folder %s holds a data set already (%s): name another, or replace it by --force", c.To, filepath.Base(found))
	}
	return nil
}

func (c *importCmd) write(a *app, data *features.Dataset) error {
	items, err := c.readItems(a)
	if err != nil {
		return err
	}
	if items == nil {
		items = data.Catalogue()
	}
	if err := features.WriteFolderContext(a.ctx, c.To, data, items); err != nil {
		return err
	}
	a.say("written: %s", c.To)
	return nil
}

// readItems reads the catalogue that was named, or the one beside the source.
func (c *importCmd) readItems(a *app) ([]features.Item, error) {
	path := c.Items
	if path == "" {
		path = c.Source
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
	}
	items, faults, err := features.ReadItems(path)
	if errors.Is(err, fs.ErrNotExist) && c.Items == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a.say("items: %d, %d rows with faults\n%s", len(items), faults.Total, faults)
	return items, nil
}

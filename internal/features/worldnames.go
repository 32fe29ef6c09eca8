package features

import (
	"fmt"
	"strconv"
	"strings"
)

// theme is a genre of the invented film catalogue and the words of its titles.
type theme struct {
	name   string
	first  []string // what kind of
	second []string // thing
}

// themes returns the genres. World uses the first few, so a new one goes last.
func themes() []theme {
	list := [...][3]string{
		{"Space", "Silent Distant Burning Frozen Last Hollow Drifting Crimson", "Orbit Colony Signal Comet Station Nebula Horizon Lander"},
		{"Heist", "Velvet Perfect Second Golden Crooked Midnight Careful Borrowed", "Vault Getaway Diamond Alibi Switch Safecracker Inside_Job Blueprint"},
		{"Romance", "Secret Endless Paper Summer Unsent Gentle Accidental Rainy", "Letter Wedding Promise Waltz Harbour Bouquet Goodbye Valentine"},
		{"Western", "Dusty Lonesome Iron Wild Broken Quick Outlaw Red", "Canyon Saddle Sheriff Railroad Mesa Stagecoach Revolver Prairie"},
		{"Horror", "Whispering Black Buried Haunted Pale Cursed Thirteenth Sleepless", "Cellar Doll Orchard Mirror Asylum Lullaby Shadow Graveyard"},
		{"Kitchen", "Sweet Bitter Salted Burnt Grandmother's Hungry Secret Slow", "Recipe Bakery Noodle Oven Harvest Banquet Spice Apron"},
		{"Spy", "Double Cold Hidden Grey Final Silent Coded Forgotten", "Agent Cipher Embassy Handler Dossier Defector Safehouse Microfilm"},
		{"Ocean", "Deep Blue Stormy Sunken Wandering Northern Salt Emerald", "Lighthouse Whale Submarine Tide Reef Captain Trench Voyage"},
		{"Courtroom", "Reasonable Hostile Missing Sworn Guilty Final Impartial Unlikely", "Witness Verdict Juror Appeal Doubt Testimony Closing Statute"},
		{"Animation", "Tiny Brave Clumsy Sparkling Upside-Down Curious Fuzzy Lucky", "Dragon Penguin Robot Hedgehog Balloon Wizard Turnip Otter"},
		{"Mountain", "White Frozen Vertical Lost Thin High Winter Patient", "Summit Glacier Rope Avalanche Ridge Basecamp Sherpa Crevasse"},
		{"Detective", "Rainy Crooked Vanishing Third Nervous Patient Left-Handed Missing", "Clue Informant Inspector Typewriter Corpse Heiress Fingerprint Motive"},
		{"Music", "Electric Broken Blue Final Unplugged Restless Borrowed Loud", "Guitar Chorus Encore Drummer Melody Jukebox Violin Tour"},
		{"War", "Last Forgotten Distant Burning Long Quiet Fallen Eastern", "Trench Brigade Bridge Medic Convoy Front Ceasefire Barracks"},
		{"Time", "Broken Second Endless Yesterday's Backward Borrowed Parallel Missing", "Clock Minute Paradox Tomorrow Loop Century Hourglass Tuesday"},
		{"Sport", "Golden Final Underdog Muddy Perfect Unbroken Late Rookie", "Goal Champion Marathon Penalty Season Coach Relay Knockout"},
		{"Fantasy", "Enchanted Shattered Elder Moonlit Forbidden Silver Wandering Hidden", "Kingdom Sword Oracle Griffin Forest Crown Prophecy Spellbook"},
		{"Office", "Overdue Annual Borrowed Awkward Open-Plan Remote Unpaid Quarterly", "Meeting Stapler Intern Deadline Memo Elevator Spreadsheet Photocopier"},
		{"Jungle", "Green Lost Poisoned Hidden Golden Untamed Drumming Misty", "Temple River Expedition Jaguar Idol Map Canopy Explorer"},
		{"Circus", "Flying Painted Runaway Laughing Midnight Fearless Vanishing Velvet", "Trapeze Clown Ringmaster Tent Lion Juggler Carousel Acrobat"},
	}
	out := make([]theme, len(list))
	for i, l := range list {
		out[i] = theme{l[0], words(l[1]), words(l[2])}
	}
	return out
}

func words(s string) []string {
	list := strings.Fields(s)
	for i, w := range list {
		list[i] = strings.ReplaceAll(w, "_", " ")
	}
	return list
}

// nameItems invents a film for each item: a title no other film has, an id made
// of it, its genre and decade.
func nameItems(rng *stream, themeOf []int) []Item {
	all := themes()
	taken := make(map[string]int)
	items := make([]Item, len(themeOf))
	for i, th := range themeOf {
		t := all[th]
		title := "The " + t.first[rng.intn(len(t.first))] + " " + t.second[rng.intn(len(t.second))]
		taken[title]++
		if n := taken[title]; n > 1 {
			title += " " + strconv.Itoa(n)
		}
		year := 1960 + rng.intn(64)
		items[i] = Item{
			ID:         slug(title),
			Title:      fmt.Sprintf("%s (%d)", title, year),
			Categories: []string{t.name, fmt.Sprintf("%ds", year/10*10)},
		}
	}
	return items
}

// slug makes an id of a title: small letters and digits, hyphens between.
func slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(strings.TrimPrefix(title, "The ")), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "-")
}

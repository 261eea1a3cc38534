/* The `marquee` program: the table of its subcommands. A new one is a row here and a file. */
#include "common/base/flags.h"
#include "launcher/commands.h"
#include "launcher/dispatch.h"

static const struct command commands[] = {
	{"train", cmd_train, "train in one process, with the tables embedded"},
	{"launch", cmd_launch, "train with parameter servers and several workers"},
	{"export", cmd_export, "write a model directory from a checkpoint"},
	{"predict", cmd_predict, "predict the stars somebody would give a movie"},
	{"recommend", cmd_recommend, "name the movies somebody would like best"},
	{"similar", cmd_similar, "name the movies most like one"},
	{"movies", cmd_movies, "add, update or remove movies of a model"},
	{"evaluate", cmd_evaluate, "measure a model's error over given ratings"},
	{"plot", cmd_plot, "draw the metrics of training runs as an HTML report"},
	{"checkpoint", cmd_checkpoint, "verify, inspect or compare checkpoints"},
	{"serve", cmd_serve, "answer over HTTP"},
	{"synth", cmd_synth, "generate ratings with a known truth behind them"},
	{0},
};

int main(int argc, char **argv)
{
	const struct command_set set = {
		.program = "marquee",
		.version = MARQUEE_VERSION,
		.summary = "Trains recommendation models whose embedding tables live on parameter "
			   "servers,\nand answers with them.",
		.commands = commands,
	};
	return program_end(set.program, dispatch(&set, argc, argv));
}

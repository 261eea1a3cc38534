/*
 * The subcommands of `marquee`, one file each (cmd_<name>.c): they parse their options, call the
 * library that does the work, and print. main.c has the table.
 *
 * Each gets argv[0] = "marquee <name>" and returns an exit code of flags.h.
 */
#ifndef MARQUEE_LAUNCHER_COMMANDS_H
#define MARQUEE_LAUNCHER_COMMANDS_H

int cmd_checkpoint(int argc, char **argv);
int cmd_evaluate(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_launch(int argc, char **argv);
int cmd_movies(int argc, char **argv);
int cmd_plot(int argc, char **argv);
int cmd_predict(int argc, char **argv);
int cmd_recommend(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_similar(int argc, char **argv);
int cmd_synth(int argc, char **argv);
int cmd_train(int argc, char **argv);

#endif

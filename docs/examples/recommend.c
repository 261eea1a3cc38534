#include <marquee/marquee.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	struct marquee_movie best;
	struct marquee_model *model = marquee_open(argv[argc - 1]);
	int found = marquee_recommend(model, &(struct marquee_who){.user = 1}, NULL, &best, 1);
	fprintf(found == 1 ? stdout : stderr, "%s\n", found == 1 ? best.title : marquee_error());
	return marquee_close(model) != 0 || found != 1;
}

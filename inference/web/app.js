"use strict";
/*
 * The page of marquee serve. What is shown is in the address behind "#", so that a view can be kept, sent to somebody
 * and gone back from; `show` draws the view that stands there. Text of movies reaches the page as text alone.
 */
const $ = id => document.getElementById(id);
const form = $("ask");
const names = { ages: new Map(), occupations: [] };

/* Of the views and of the words looked for: an answer that a newer question has overtaken is dropped. */
const turns = { view: 0, find: 0 };

/* What is given of the parameters, as "name=value&...". */
function queryOf(parameters) {
  return new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined)).toString();
}

async function ask(path, parameters = {}) {
  const query = queryOf(parameters);
  let reply;
  try {
    reply = await fetch(query ? path + "?" + query : path);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const said = await reply.json();
  if (!reply.ok)
    throw new Error(said.error.message);
  return said;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined)
    made.textContent = text;
  if (className)
    made.className = className;
  return made;
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").className = isError ? "error" : "";
}

/* What the form asks for, by the API's names. */
function question() {
  const fields = new FormData(form);
  const get = name => fields.get(name) ?? "";
  const who = get("who") === "user" ? { user: get("user") }
    : { age: get("age"), gender: get("gender"), occupation: get("occupation") };
  const year = get("from") || get("to") ? get("from") + "-" + get("to") : "";
  return { ...who, genre: get("genre"), year, k: get("k") };
}

function fillForm(view) {
  const isUser = view.user !== undefined;
  form.elements.who.value = isUser ? "user" : "new";
  showWho();
  for (const name of ["user", "age", "gender", "occupation", "genre", "k"])
    if (view[name] !== undefined)
      form.elements[name].value = view[name];
  if (view.genre === undefined)
    form.elements.genre.value = "";
  const [from = "", to = ""] = (view.year ?? "").split("-");
  form.elements.from.value = from;
  form.elements.to.value = to;
}

function showWho() {
  const isUser = form.elements.who.value === "user";
  $("new").hidden = isUser;
  $("user").hidden = !isUser;
  form.elements.user.disabled = !isUser;
}

function go(view) {
  const query = queryOf(view);
  if ("#" + query === location.hash)
    show();
  else
    location.hash = query;
}

const FEATURES = {
  "user ratings": "What ratings taught about this user",
  "user gender": "Gender",
  "user age": "Age",
  "user occupation": "Occupation",
  "movie ratings": "What ratings taught about this movie",
  "movie genres": "Its genres",
  "movie title": "The words of its title",
};

/* Features and what the answer gains by each, as a table with bars. */
function effects(whole, features, format) {
  const table = element("table");
  const largest = Math.max(1e-9, ...features.map(f => Math.abs(whole - f.without)));
  for (const feature of features) {
    const gain = whole - feature.without;
    const row = table.insertRow();
    const name = element("th", FEATURES[feature.of + " " + feature.feature] ?? feature.feature);
    name.scope = "row";
    row.append(name);
    const bar = element("span", undefined, gain < 0 ? "bar down" : "bar");
    bar.style.width = 100 * Math.abs(gain) / largest + "%";
    row.insertCell().append(bar);
    const size = format(Math.abs(gain));
    row.insertCell().textContent = (!/[1-9]/.test(size) ? "" : gain < 0 ? "−" : "+") + size;
  }
  return table;
}

async function because(movie, view) {
  if (view.like === undefined) {
    const { user, age, gender, occupation } = view;
    const why = await ask("v1/recommend/why", { user, age, gender, occupation, movie: movie.id });
    return [element("p", "How many stars each feature adds, compared to not knowing it:"),
      effects(why.stars, why.features, gain => gain.toFixed(2))];
  }
  const why = await ask("v1/similar/why", { movie: movie.id, like: view.like });
  const both = [...why.shared_genres, ...why.shared_words.map(word => "“" + word + "”")];
  return [element("p", both.length ? "Both have: " + both.join(", ") : "They share no genre and no word of the title."),
    element("p", "What each feature of this movie adds to the likeness:"),
    effects(why.similarity, why.features, gain => (100 * gain).toFixed(1) + " %")];
}

async function toggleWhy(button, box, movie, view) {
  const open = box.hidden;
  box.hidden = !open;
  button.setAttribute("aria-expanded", open);
  if (!open || box.childElementCount)
    return;
  try {
    box.replaceChildren(...await because(movie, view));
  } catch (error) {
    box.replaceChildren(element("p", error.message));
  }
}

function movieItem(movie, view) {
  const item = $("movie").content.firstElementChild.cloneNode(true);
  const part = name => item.querySelector(name);
  const isSimilar = movie.similarity !== undefined;
  const share = isSimilar ? movie.similarity : movie.stars / 5;
  part("h3").textContent = movie.rank + ". " + movie.title;
  part(".value").textContent = isSimilar ? (100 * movie.similarity).toFixed(1) + " %" : movie.stars.toFixed(2);
  part(".unit").textContent = isSimilar ? "alike" : "of 5 stars";
  part(".meter span").style.width = 100 * Math.min(1, Math.max(0, share)) + "%";
  part(".genres").textContent = movie.genres.join(", ");
  part(".more").setAttribute("aria-label", "More like this: " + movie.title);
  part(".more").addEventListener("click", () => { go({ ...view, like: movie.id }); $("movies").focus(); });
  part(".why").setAttribute("aria-label", "Why " + movie.title + "?");
  part(".why").addEventListener("click", () => toggleWhy(part(".why"), part(".because"), movie, view));
  return item;
}

function somebody(said) {
  const who = [said.gender === "F" ? "female" : "male", names.ages.get(said.age) ?? said.age,
    names.occupations[said.occupation] ?? said.occupation].join(", ");
  return said.user === null ? "For somebody new: " + who : "For user " + said.user + ": " + who;
}

function viewOfAddress() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/* Draws what stands in the address; an empty one is what the form says. */
async function show() {
  const turn = ++turns.view;
  const asked = viewOfAddress();
  const view = Object.keys(asked).length ? asked : question();
  fillForm(view);
  say("Asking …");
  try {
    const { like, ...rest } = view;
    const { genre, year, k } = view;
    const said = like === undefined ? await ask("v1/recommend", rest) : await ask("v1/similar", { movie: like, genre, year, k });
    if (turn !== turns.view)
      return;
    const movies = said.recommendations ?? said.similar;
    $("heading").textContent = like === undefined ? "Recommendations" : "More like " + said.title;
    $("back").hidden = like === undefined;
    $("list").replaceChildren(...movies.map(movie => movieItem(movie, view)));
    const count = movies.length === 1 ? "1 movie" : movies.length + " movies";
    say(movies.length === 0 ? "No movie passes the filters." : like === undefined ? somebody(said) + ". " + count + "." : count + ".");
  } catch (error) {
    if (turn !== turns.view)
      return;
    $("list").replaceChildren();
    say(error.message, true);
  }
}

async function find() {
  const turn = ++turns.find;
  const words = $("find").value.trim();
  let found = { movies: [] }, note = "";
  try {
    if (words)
      found = await ask("v1/movies", { q: words, k: 8 });
    note = !words ? "" : found.total === 0 ? "No title has these words." : found.total > 8 ? "The first 8 of " + found.total + ":" : "";
  } catch (error) {
    note = error.message;
  }
  if (turn !== turns.find)
    return;
  $("find-note").textContent = note;
  $("found").replaceChildren(...found.movies.map(movie => {
    const item = element("li"), button = element("button", movie.title);
    button.type = "button";
    button.addEventListener("click", () => { go({ ...question(), like: movie.id }); $("movies").focus(); });
    item.append(button);
    return item;
  }));
}

async function start() {
  form.addEventListener("submit", event => { event.preventDefault(); go(question()); $("movies").focus(); });
  form.addEventListener("change", event => {
    if (event.target === $("find") || event.target.name === "who" && (showWho(), true) && !form.reportValidity())
      return;
    if (form.checkValidity())
      go(question());
  });
  $("find").addEventListener("input", find);
  $("find").addEventListener("keydown", event => { if (event.key === "Enter") event.preventDefault(); });
  $("back").addEventListener("click", () => go({ ...viewOfAddress(), like: undefined }));
  addEventListener("hashchange", () => { show(); });
  try {
    const model = await ask("v1/model");
    names.occupations = model.occupations;
    for (const { age, name } of model.ages) {
      names.ages.set(age, name);
      form.elements.age.add(new Option(name, age, age === 25, age === 25));
    }
    model.occupations.forEach((name, number) => form.elements.occupation.add(new Option(name, number)));
    for (const genre of model.genres)
      form.elements.genre.add(new Option(genre, genre));
    form.elements.from.placeholder = model.first_year;
    form.elements.to.placeholder = model.last_year;
    const rmse = model.test_rmse === null ? "" : ", usually off by " + model.test_rmse.toFixed(2) + " stars";
    $("about").textContent = model.movies.toLocaleString("en") + " movies, learned from " + model.users.toLocaleString("en") + " users" + rmse;
    await show();
  } catch (error) {
    say(error.message, true);
  }
}

start();
